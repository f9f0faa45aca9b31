/** Of a token that does not say, in milliseconds. */
const UNSAID_MS = 5 * 60_000;

/** How long a seat token lives from its issue, in milliseconds; read, never checked. */
export function lifeOf(token: string): number {
  try {
    const body = token.split(".")[1]?.replace(/-/g, "+").replace(/_/g, "/") ?? "";
    const { iat, exp } = JSON.parse(atob(body));
    const life = (exp - iat) * 1000;
    return life > 0 && life < 2 ** 31 ? life : UNSAID_MS;
  } catch {
    return UNSAID_MS;
  }
}
