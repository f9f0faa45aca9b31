import { useSignal } from "@preact/signals";

/** Copies a text and says whether that worked. */
export function Copy(props: { text: string; what: string; label?: string }) {
  const said = useSignal("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(props.text);
      said.value = "Copied";
    } catch {
      // Forbidden, or plain http: the text is there to be selected.
      said.value = "Select it and press Ctrl-C";
    }
    setTimeout(() => {
      said.value = "";
    }, 3000);
  };
  return (
    <>
      <button type="button" onClick={copy} title={`Copy the ${props.what}`}>
        {said.value || props.label || "Copy"}
      </button>
      <span class="unseen" role="status">
        {said.value && `${said.value}: ${props.what}`}
      </span>
    </>
  );
}
