import { Copy } from "../ui/Copy.js";
import type { Stay } from "./stay.js";

/** The reconnect code, shown once: this browser keeps it, another device needs it told. */
export function WayBack({ stay }: { stay: Stay }) {
  const code = stay.unseen.value;
  if (code === undefined) return null;
  return (
    <section class="callout info wayback" aria-label="Your way back">
      <p>
        <strong>Your way back.</strong> This browser remembers your seat. To come back on another
        device, note this code; it is shown once:
      </p>
      <p class="row wrap">
        <code class="big">{code}</code>
        <Copy text={code} what="reconnect code" />
        <button type="button" onClick={() => stay.seen()}>
          I have it
        </button>
      </p>
    </section>
  );
}
