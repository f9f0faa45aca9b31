// What this browser keeps between visits. Storage may be full or forbidden: then it keeps nothing.

/** Reads what was kept under a name. */
export function read<T>(name: string, storage: () => Storage = () => localStorage): T | undefined {
  try {
    const text = storage().getItem(`clarateach.${name}`);
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined;
  }
}

/** Keeps a value; `undefined` forgets it. Says whether it is kept. */
export function write(
  name: string,
  value: unknown,
  storage: () => Storage = () => localStorage,
): boolean {
  try {
    if (value === undefined) storage().removeItem(`clarateach.${name}`);
    else storage().setItem(`clarateach.${name}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
