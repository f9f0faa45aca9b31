import "./console.css";
import { useLocation } from "preact-iso";
import { ThemeChoice } from "../app/ThemeChoice.js";
import { Asking } from "../ui/ask.js";
import { Create } from "./Create.js";
import { List } from "./List.js";
import { SignIn } from "./SignIn.js";
import { client, signOut } from "./session.js";
import { WorkshopPage } from "./WorkshopPage.js";

/** `/console…`: what instructors see. */
export function Console() {
  const { path } = useLocation();
  const now = client.value;
  if (!now) return <SignIn />;
  const place = path.split("/")[2] ?? "";
  return (
    <div class="console">
      <header class="topbar">
        <a class="brand" href="/console">
          ClaraTeach
        </a>
        <nav aria-label="Console" class="row">
          <a href="/console" aria-current={place === "" ? "page" : undefined}>
            Workshops
          </a>
          <a href="/console/new" aria-current={place === "new" ? "page" : undefined}>
            New workshop
          </a>
        </nav>
        <span class="grow" />
        <ThemeChoice />
        <button type="button" class="small" onClick={() => signOut()}>
          Sign out
        </button>
      </header>
      <main class="page">
        {place === "" && <List client={now} />}
        {place === "new" && <Create client={now} />}
        {place !== "" && place !== "new" && <WorkshopPage key={place} client={now} id={place} />}
      </main>
      <Asking />
    </div>
  );
}
