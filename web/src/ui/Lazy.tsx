import type { ComponentChildren, ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

/** A component that is fetched when it is first shown; `load` may run ahead of that. */
export function lately<P extends object>(load: () => Promise<ComponentType<P>>) {
  return function Lately({ wait, ...props }: P & { wait?: ComponentChildren }) {
    const [Loaded, setLoaded] = useState<{ is: ComponentType<P> }>();
    const [failed, setFailed] = useState(false);
    useEffect(() => {
      load().then(
        (is) => setLoaded({ is }),
        () => setFailed(true),
      );
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
  };
}
