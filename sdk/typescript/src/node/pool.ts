/** Does `work` for every item, so many at once; the first failure ends it, after those under way. */
export async function pool<T>(
  atOnce: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const hand = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const item = items[next] as T;
      next += 1;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const hands = Array.from({ length: Math.min(atOnce, items.length) }, hand);
  const ended = await Promise.allSettled(hands);
  const bad = ended.find((one) => one.status === "rejected");
  if (bad !== undefined) throw bad.reason;
}
