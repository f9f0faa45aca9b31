/** Where learners of a workshop begin. */
export function joinLink(code: string): string {
  return `${location.origin}/j/${code}`;
}
