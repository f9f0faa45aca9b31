import axe from "axe-core";
import type { Page } from "playwright-core";

/** One thing that hinders somebody, as axe found it. */
export interface Finding {
  readonly rule: string;
  readonly impact: string;
  readonly where: string;
}

/** What a shell prints is its own to colour. */
const NOT_OURS = ".xterm-rows";

/**
 * What axe finds on a page, serious or critical. Its source comes through the debugging
 * protocol: as a script tag the page's own policy would refuse it.
 */
export async function audit(page: Page): Promise<Finding[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(async (exclude) => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    return (await axe.run({ exclude }, { resultTypes: ["violations"] })).violations;
  }, NOT_OURS);
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, impact, nodes }) =>
      nodes.map(({ html }) => ({ rule: id, impact: impact ?? "", where: html.slice(0, 160) })),
    );
}
