import { generate } from "lean-qr";
import { useEffect, useRef } from "preact/hooks";
import { Copy } from "../ui/Copy.js";
import { joinLink } from "./link.js";

/** The way in, large enough for a projector. */
export function Invite(props: { name: string; code: string; onClose(): void }) {
  const { name, code, onClose } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const link = joinLink(code);
  useEffect(() => {
    dialog.current?.showModal();
    // Black on white in dark pages, too: phones read no other.
    if (canvas.current)
      generate(link).toCanvas(canvas.current, { on: [0, 0, 0], off: [255, 255, 255] });
  }, [link]);
  return (
    <dialog ref={dialog} class="wide invite" aria-labelledby="invite-title" onClose={onClose}>
      <h2 id="invite-title">Join {name}</h2>
      <canvas ref={canvas} role="img" aria-label={`QR code of ${link}`} />
      <p class="link">{link}</p>
      <p>
        Code <code class="huge">{code}</code>
      </p>
      <div class="actions">
        <Copy text={link} what="join link" label="Copy the link" />
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
    </dialog>
  );
}
