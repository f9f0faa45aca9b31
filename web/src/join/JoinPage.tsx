import { useSignalEffect } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { icon } from "../app/icon.js";
import { Plain } from "../app/Plain.js";
import { lately } from "../ui/Lazy.js";
import { shown } from "./code.js";
import { JoinForm } from "./JoinForm.js";
import { Stay } from "./stay.js";
import { WaitingRoom } from "./WaitingRoom.js";

const Workspace = lately(() =>
  import("../workspace/Workspace.js").then(({ Workspace }) => Workspace),
);

/** `/j/CODE`: from the code to a terminal. */
export function JoinPage({ code = "" }: { code?: string }) {
  const stay = useMemo(() => new Stay(shown(decodeURIComponent(code))), [code]);
  useEffect(() => {
    stay.begin();
    // Fetched while the learner types a name or a machine starts.
    Workspace.ahead();
    return () => stay.leave();
  }, [stay]);
  useSignalEffect(() => icon(stay.ready.value ? "ready" : "plain"));
  const stage = stay.stage.value;
  if (stage.at === "in") {
    if (!stay.entered.value) return <WaitingRoom stay={stay} seat={stage.seat} />;
    return (
      <Workspace
        stay={stay}
        seat={stage.seat}
        wait={
          <Plain title="Opening" busy>
            …
          </Plain>
        }
      />
    );
  }
  if (stage.at === "stuck") {
    const { title, text } = stage.words;
    return (
      <Plain title={title}>
        <p role="status">{text}</p>
        <p class="aside">
          Code <code>{stay.code}</code> · <a href="/">Use another code</a>
        </p>
      </Plain>
    );
  }
  return <JoinForm stay={stay} words={stage.at === "form" ? stage.words : undefined} />;
}
