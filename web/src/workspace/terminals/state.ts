import type { Terminal, TerminalOptions } from "@clarateach/sdk";

/** How a shell and the line to it stand. */
export type State =
  | { is: "opening" }
  | { is: "live" }
  /** The line is cut and is being mended; the shell runs on. */
  | { is: "away"; since: number }
  | { is: "ended"; code: number | undefined }
  | { is: "lost"; why: string };

/** Whose terminals these are: a learner's seat, or what an observer was given of one. */
export interface Source {
  readonly workshopId: string;
  readonly number: number;
  terminal(name: string, options: TerminalOptions): Promise<Terminal>;
}
