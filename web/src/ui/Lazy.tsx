import type { ComponentChildren, ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

/** A component that is fetched when it is first shown, or `ahead` of that. */
export function lately<P extends object>(load: () => Promise<ComponentType<P>>) {
  let here: { is: ComponentType<P> } | undefined;
  const fetched = async () => {
    here = { is: await load() };
    return here;
  };
  const ahead = () => void fetched().catch(() => undefined);
  function Lately({ wait, ...props }: P & { wait?: ComponentChildren }) {
    // What was fetched ahead is there in the first frame.
    const [Loaded, setLoaded] = useState(here);
    const [failed, setFailed] = useState(false);
    useEffect(() => {
      if (!Loaded) fetched().then(setLoaded, () => setFailed(true));
    }, []);
    if (Loaded) return <Loaded.is {...(props as unknown as P)} />;
    if (!failed) return <>{wait}</>;
    // A server that was renewed has other files than the page that is open.
    return (
      <div role="alert" class="callout bad">
        A part of this page did not load: the network broke, or the server has been renewed.{" "}
        <button type="button" onClick={() => location.reload()}>
          Load the page again
        </button>
      </div>
    );
  }
  return Object.assign(Lately, { ahead });
}
