import "./workspace.css";
import type { Seat } from "@clarateach/sdk";
import { useEffect, useMemo } from "preact/hooks";
import type { Stay } from "../join/stay.js";
import { WayBack } from "../join/WayBack.js";
import { Asking } from "../ui/ask.js";
import { TopBar } from "./TopBar.js";
import { Terminals } from "./terminals/Terminals.js";
import { Tabs } from "./terminals/tabs.js";

/** A learner's seat: terminals, files, and what to do. */
export function Workspace({ stay, seat }: { stay: Stay; seat: Seat }) {
  const tabs = useMemo(() => new Tabs(seat), [seat]);
  useEffect(() => () => tabs.end(), [tabs]);
  useEffect(() => {
    document.title = `${seat.workshopName} · ClaraTeach`;
  }, [seat]);
  return (
    <div class="workspace">
      <TopBar stay={stay} seat={seat} />
      <WayBack stay={stay} />
      <main class="panes">
        <Terminals tabs={tabs} />
      </main>
      <Asking />
    </div>
  );
}
