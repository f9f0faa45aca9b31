import { expect } from "vitest";
import { ClarateachError } from "../../src/errors.js";

/** Waits for a refusal with this reason, of one of our classes, and gives it. */
export async function refused(
  promise: Promise<unknown>,
  Class: abstract new (...given: never[]) => ClarateachError,
  reason: string,
): Promise<ClarateachError> {
  const error = await promise.then(
    () => new Error("it was not refused"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ClarateachError);
  expect(error).toBeInstanceOf(Class);
  expect(error).toMatchObject({ reason });
  return error as ClarateachError;
}
