import { useRef } from "preact/hooks";

/** What a splitter moves. */
interface Props {
  /** What it is called, for those who cannot see it. */
  label: string;
  /** Which way it moves. */
  along: "x" | "y";
  /** The size of the pane beside it, in pixels. */
  size: number;
  min: number;
  max: number;
  /** The pane is after it: a move to the right makes it smaller. */
  after?: boolean;
  onSize(size: number): void;
}

const STEP = 24;

/** A line between two panes that can be dragged, or moved with arrow keys. */
export function Splitter({ label, along, size, min, max, after = false, onSize }: Props) {
  const from = useRef<{ at: number; size: number } | undefined>(undefined);
  const limited = (wanted: number) => Math.round(Math.min(Math.max(wanted, min), max));
  const at = (event: PointerEvent) => (along === "x" ? event.clientX : event.clientY);
  const sign = after ? -1 : 1;
  const key = (event: KeyboardEvent) => {
    const [less, more] = along === "x" ? ["ArrowLeft", "ArrowRight"] : ["ArrowUp", "ArrowDown"];
    const way = event.key === more ? sign : event.key === less ? -sign : 0;
    if (way === 0) return;
    event.preventDefault();
    onSize(limited(size + way * STEP));
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a separator that moves is no <hr>
    <div
      role="separator"
      class={`splitter ${along}`}
      tabIndex={0}
      aria-label={label}
      aria-orientation={along === "x" ? "vertical" : "horizontal"}
      aria-valuenow={limited(size)}
      aria-valuemin={min}
      aria-valuemax={Math.max(min, Math.round(max))}
      onKeyDown={key}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        from.current = { at: at(event), size };
        event.preventDefault();
      }}
      onPointerMove={(event) => {
        const start = from.current;
        if (start) onSize(limited(start.size + sign * (at(event) - start.at)));
      }}
      onPointerUp={() => {
        from.current = undefined;
      }}
      onPointerCancel={() => {
        from.current = undefined;
      }}
    />
  );
}
