import "@xterm/xterm/css/xterm.css";
import type { ObserveMode } from "@clarateach/sdk";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Shell } from "../workspace/terminals/shell.js";
import type { Room } from "./room.js";
import { told } from "./session.js";

/** A learner's terminal as they see it; keys count only in mode `assist`, once they consent. */
export function Look(props: { room: Room; seat: number; mode: ObserveMode }) {
  const { room, seat, mode } = props;
  const place = useRef<HTMLDivElement>(null);
  const trouble = useSignal("");
  const shell = useSignal<Shell | undefined>(undefined);
  useEffect(() => {
    let over = false;
    let stop = () => {};
    room.observe(seat, mode).then(
      (observer) => {
        if (over || !place.current) return observer.close();
        const source = {
          workshopId: room.id,
          number: seat,
          terminal: observer.terminal.bind(observer),
        };
        const shown = new Shell(source, "main", { follows: true });
        stop = () => {
          shown.close();
          observer.close();
        };
        shown.open(place.current);
        shown.screen.textarea?.setAttribute("aria-label", `Terminal of seat ${seat}`);
        if (mode === "assist") shown.screen.focus();
        shell.value = shown;
      },
      (error) => {
        trouble.value = told(error);
      },
    );
    return () => {
      over = true;
      stop();
    };
  }, [room, seat, mode]);
  const state = shell.value?.state.value;
  const refused = shell.value?.refused.value;
  const why = trouble.value || (state?.is === "lost" ? state.why : "");
  return (
    <div class="stack" data-look={state?.is ?? "opening"}>
      <p class="aside" role="status">
        {why ||
          (state?.is === "away"
            ? "The line is cut and is being mended."
            : refused === "consent_needed"
              ? "Not typed: they have not let you yet. Their page asks them."
              : mode === "assist"
                ? "Keys count once they let you type; their page asks them. They see that you are here."
                : "You only look. They see that you are here.")}
      </p>
      <div ref={place} class="look" />
    </div>
  );
}
