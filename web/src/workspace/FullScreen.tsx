import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Icon } from "../ui/Icon.js";

/** Keys that browsers keep for themselves, and terminals want: what full screen is for. */
const KEYS = ["KeyW", "KeyT", "KeyN", "Escape"];

/** Some browsers give a page in full screen all keys. */
interface Keyboard {
  lock?(codes: readonly string[]): Promise<void>;
}

/** Nothing but the page, and Ctrl-W to the shell where the browser lets it. */
export function FullScreen() {
  const is = useSignal(document.fullscreenElement !== null);
  useEffect(() => {
    const look = () => {
      is.value = document.fullscreenElement !== null;
    };
    document.addEventListener("fullscreenchange", look);
    return () => document.removeEventListener("fullscreenchange", look);
  }, [is]);
  if (!document.fullscreenEnabled) return null;
  const turn = async () => {
    if (document.fullscreenElement) return document.exitFullscreen();
    await document.documentElement.requestFullscreen();
    const { keyboard } = navigator as { keyboard?: Keyboard };
    await keyboard?.lock?.(KEYS);
  };
  const name = is.value ? "Leave full screen" : "Full screen: Ctrl-W goes to the terminal, too";
  return (
    <button
      type="button"
      class="quiet square"
      aria-label={name}
      title={name}
      // Refused, for example in a frame: the page stays as it is.
      onClick={() => void turn().catch(() => undefined)}
    >
      <Icon of="full" />
    </button>
  );
}
