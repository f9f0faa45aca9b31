import { WebglAddon } from "@xterm/addon-webgl";
import type { Terminal } from "@xterm/xterm";

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
let fast: boolean | undefined;

/** Whether this machine draws with a real graphics processor: in software the DOM is faster. */
export function hasGraphics(): boolean {
  if (fast !== undefined) return fast;
  const gl = document
    .createElement("canvas")
    .getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  // Some browsers give a context that is software all the same, and say so only by its name.
  const named = gl?.getExtension("WEBGL_debug_renderer_info");
  const renderer = named && gl?.getParameter(named.UNMASKED_RENDERER_WEBGL);
  fast = gl !== null && !SOFTWARE.test(String(renderer));
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return fast;
}

/**
 * Draws one terminal by WebGL while it is seen. Browsers allow sixteen contexts a page and
 * take the oldest for a seventeenth, so who is hidden gives its own back.
 */
export class Drawing {
  readonly #screen: Terminal;
  #addon: WebglAddon | undefined;

  constructor(screen: Terminal) {
    this.#screen = screen;
  }

  show(): void {
    if (this.#addon || !hasGraphics()) return;
    const addon = new WebglAddon();
    // Taken away by the browser: the DOM draws from then on.
    addon.onContextLoss(() => this.hide());
    try {
      this.#screen.loadAddon(addon);
      this.#addon = addon;
    } catch {
      fast = false;
      addon.dispose();
    }
  }

  hide(): void {
    const addon = this.#addon;
    if (!addon) return;
    this.#addon = undefined;
    const canvases = this.#screen.element?.querySelectorAll("canvas") ?? [];
    const contexts = Array.from(canvases, (canvas) => canvas.getContext("webgl2"));
    addon.dispose();
    // Disposing alone keeps the context.
    for (const gl of contexts) gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
