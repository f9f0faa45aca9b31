/** Who looks on besides the learner. */
export interface Watching {
  /** Names the viewer in `consent`. */
  readonly viewer: string;
  readonly mode: string;
}

/** What happens at a terminal besides its output, in order with it. */
export type TerminalEvent =
  /** A connection is there; output goes on at `offset`. */
  | {
      type: "attached";
      terminal: string;
      instance: string;
      offset: number;
      viewers: number;
      /** The size that it has, which another viewer may have chosen. */
      cols: number;
      rows: number;
    }
  /** The next output draws the present screen; `lost` bytes before it are gone. */
  | { type: "repaint"; lost: number }
  /** Another shell than before: the machine or the shell was started again. */
  | { type: "restarted" }
  /** A replay is over: from now on output is new. */
  | { type: "live" }
  /** The terminal has this size now, whoever chose it. */
  | { type: "resized"; cols: number; rows: number }
  /** So many look at it, these of them are not the learner; `typing` typed last, if anybody did. */
  | {
      type: "viewers";
      count: number;
      watching: readonly Watching[];
      typing: Watching | undefined;
    }
  /** The shell ended. */
  | { type: "exit"; code: number }
  /** Something people should know, with a time in milliseconds since 1970 when it has one. */
  | { type: "notice"; kind: string; message: string; at: number | undefined }
  /** The guest refused a control frame, such as a size. */
  | { type: "refused"; reason: string }
  /** The connection is gone; another is being made. */
  | { type: "disconnected"; code: number; reason: string };

interface Frame {
  type?: unknown;
  [field: string]: unknown;
}

/** A control frame, as an event; undefined for what later servers say, and for a pong. */
export function readControl(
  text: string,
): (TerminalEvent & { bytes?: number; offset?: number }) | undefined {
  let frame: Frame;
  try {
    frame = JSON.parse(text) ?? {};
  } catch {
    return undefined;
  }
  const count = (field: string): number => Number(frame[field]) || 0;
  const words = (field: string): string => String(frame[field] ?? "");
  switch (frame.type) {
    case "attached":
      return {
        type: "attached",
        terminal: words("terminal"),
        instance: words("instance"),
        offset: count("offset"),
        viewers: count("viewers"),
        cols: count("cols"),
        rows: count("rows"),
      };
    case "repaint":
      return {
        type: "repaint",
        lost: count("lost"),
        offset: count("offset"),
        bytes: count("bytes"),
      };
    case "restarted":
    case "live":
      return { type: frame.type };
    case "resized":
      return { type: "resized", cols: count("cols"), rows: count("rows") };
    case "viewers": {
      const watching = (frame.watching ?? []) as Watching[];
      const typing = (frame.typing ?? undefined) as Watching | undefined;
      return { type: "viewers", count: count("n"), watching, typing };
    }
    case "exit":
      return { type: "exit", code: count("code") };
    case "notice": {
      const at = typeof frame.at === "number" ? frame.at : undefined;
      return { type: "notice", kind: words("kind"), message: words("message"), at };
    }
    case "error":
      return { type: "refused", reason: words("reason") };
    default:
      return undefined;
  }
}
