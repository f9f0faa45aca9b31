// Way: styles may be made -> the address -> a page, loaded when it is needed.
import "./ui/base.css";
import "./ui/controls.css";
import { render } from "preact";
import { App } from "./app/App.js";
import { signStyles } from "./app/nonce.js";

signStyles();
const place = document.getElementById("app");
if (place) render(<App />, place);
