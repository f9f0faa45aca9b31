// What both entries export.

export type { CallOptions } from "./cancel.js";
export type {
  Command,
  CommandEnd,
  CommandOptions,
  CommandOutput,
  CommandResult,
  RunOptions,
} from "./command.js";
export type { Duration } from "./duration.js";
export {
  AuthError,
  CertificateError,
  ClarateachError,
  CommandFailedError,
  ConflictError,
  ConnectionLostError,
  DeadlineError,
  ExhaustedError,
  type FieldViolation,
  FileMissingError,
  InvalidError,
  LocalFileError,
  NotFoundError,
  ServerError,
  UnavailableError,
  UnsupportedError,
  WorkshopFailedError,
} from "./errors.js";
export type {
  FileEntry,
  FileOptions,
  MoveOptions,
  TransferOptions,
  TransferProgress,
  TransferResult,
  WriteOptions,
} from "./file_types.js";
export type { JoinOptions } from "./joining.js";
export type { Observer } from "./observer.js";
export type { SeatWaitOptions } from "./seat.js";
export type { Terminal, TerminalOptions } from "./terminal.js";
export type { TerminalEvent, Watching } from "./terminal_events.js";
export type { NewToken, Tokens, TokenWish } from "./tokens.js";
export type * from "./types.js";
export { VERSION } from "./version.js";
export type { Progress, UpdateOptions, WaitOptions } from "./workshop.js";
export type {
  CostWish,
  ListOptions,
  WorkshopPage,
  Workshops,
  WorkshopWish,
} from "./workshops.js";
