import type { CommandResult } from "./command.js";
import type { WorkshopInfo } from "./types.js";

/** One thing that is wrong with one field of a request. */
export interface FieldViolation {
  /** The field, as the schema calls it. */
  readonly field: string;
  /** What it must be. */
  readonly description: string;
}

/** What is known of a failure, besides its words. */
export interface ErrorFacts {
  /** Stable, for programs, such as `SEATS_EXHAUSTED`. */
  readonly reason: string;
  /** When it is worth trying again, in milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
  /** The request id of the call that failed, if it had one. */
  readonly requestId?: string | undefined;
  /** What is wrong with which field. */
  readonly fields?: readonly FieldViolation[] | undefined;
  /** What led to it. */
  readonly cause?: unknown;
}

/**
 * The root of everything this SDK throws. The classes below it say what a
 * caller can do; match on `reason` for exactly why. Only an aborted call
 * throws something else: the reason of its own signal.
 */
export class ClarateachError extends Error {
  override readonly name: string = "ClarateachError";
  /** Stable, for programs, such as `SEATS_EXHAUSTED`. */
  readonly reason: string;
  /** When it is worth trying again, in milliseconds from now; undefined for "do not". */
  readonly retryAfterMs: number | undefined;
  /** The request id of the call that failed, if it had one: for a repeat, or for the operator. */
  readonly requestId: string | undefined;
  /** What is wrong with which field of the request; often empty. */
  readonly fields: readonly FieldViolation[];

  constructor(message: string, facts: ErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.reason = facts.reason;
    this.retryAfterMs = facts.retryAfterMs;
    this.requestId = facts.requestId;
    this.fields = facts.fields ?? [];
  }
}

/** The token is missing, wrong, over or not enough: get another. */
export class AuthError extends ClarateachError {
  override readonly name: string = "AuthError";
}

/** There is no such workshop, seat, code or terminal. */
export class NotFoundError extends ClarateachError {
  override readonly name: string = "NotFoundError";
}

/** There is no such file in the seat. */
export class FileMissingError extends NotFoundError {
  override readonly name: string = "FileMissingError";
}

/** The request cannot be right, whenever it is made; see `fields`. */
export class InvalidError extends ClarateachError {
  override readonly name: string = "InvalidError";
}

/** Things are not as the request expects: a file has changed, a workshop is stopped. */
export class ConflictError extends ClarateachError {
  override readonly name: string = "ConflictError";
}

/** Something is full: seats, quota, disk, the number of commands at once. */
export class ExhaustedError extends ClarateachError {
  override readonly name: string = "ExhaustedError";
}

/** The other end is away or not ready; the same call may work later. */
export class UnavailableError extends ClarateachError {
  override readonly name: string = "UnavailableError";
}

/** A connection broke while something was on its way; what became of it is not known. */
export class ConnectionLostError extends UnavailableError {
  override readonly name: string = "ConnectionLostError";
}

/** The time given to the call is over. */
export class DeadlineError extends ClarateachError {
  override readonly name: string = "DeadlineError";
}

/** The other end's certificate is not trusted; the message says whether a clock or a CA is at fault. */
export class CertificateError extends ClarateachError {
  override readonly name: string = "CertificateError";
}

/** The server does not have this yet, or is older than this SDK. */
export class UnsupportedError extends ClarateachError {
  override readonly name: string = "UnsupportedError";
}

/** The server failed, or what answers is no ClaraTeach server. */
export class ServerError extends ClarateachError {
  override readonly name: string = "ServerError";
}

/** A file on this machine cannot be read or written; the cause says why. */
export class LocalFileError extends ClarateachError {
  override readonly name: string = "LocalFileError";
}

/** A workshop or a seat will not come up by waiting. */
export class WorkshopFailedError extends ClarateachError {
  override readonly name: string = "WorkshopFailedError";
  /** The state in which it is, such as `failed`. */
  readonly state: string;
  /** As it was then, for who may see it. */
  readonly workshop: WorkshopInfo | undefined;

  constructor(what: string, state: string, why: string, workshop?: WorkshopInfo) {
    super(`${what} is ${state}: ${why || "the server gives no reason"}`, {
      reason: `${what.split(" ")[0]}_${state}`.toUpperCase(),
    });
    this.state = state;
    this.workshop = workshop;
  }
}

/** A command ended otherwise than with exit code 0, and `check` asked to be told. */
export class CommandFailedError extends ClarateachError {
  override readonly name: string = "CommandFailedError";
  /** What it said and how it ended. */
  readonly result: CommandResult;

  constructor(message: string, result: CommandResult) {
    super(message, { reason: "COMMAND" });
    this.result = result;
  }
}
