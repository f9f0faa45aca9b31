import { ErrorBoundary, LocationProvider, lazy, Route, Router } from "preact-iso";
import { Home } from "./Home.js";
import { Plain } from "./Plain.js";

// Who joins loads no console, and the other way round.
const Join = lazy(() => import("../join/JoinPage.js").then(({ JoinPage }) => JoinPage));
const Console = lazy(() => import("../console/Console.js").then(({ Console }) => Console));

/** The page that its address asks for. */
export function App() {
  return (
    <LocationProvider>
      <ErrorBoundary>
        <Router>
          <Route path="/" component={Home} />
          <Route path="/j/:code" component={Join} />
          <Route path="/console/*" component={Console} />
          <Route path="/console" component={Console} />
          <Route default component={Nothing} />
        </Router>
      </ErrorBoundary>
    </LocationProvider>
  );
}

function Nothing() {
  return (
    <Plain title="Nothing is here">
      <p>
        The address may be mistyped. <a href="/">Start again with a join code.</a>
      </p>
    </Plain>
  );
}
