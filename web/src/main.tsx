import { render } from "preact";
import { ask, session, signIn } from "./api";
import { App } from "./app";
import { pressed } from "./keys";
import { start } from "./router";
import { tell } from "./parts/ui";
import { applyTheme } from "./theme";
import "./style.css";

/** The link that `relevo up` prints carries a token in its fragment, which no server and no log sees; it leaves the address at once. */
async function enter(): Promise<void> {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      await signIn(decodeURIComponent(token));
      return;
    } catch {
      tell("The link's token was not taken. Sign in with a current one.", true);
    }
  }
  try {
    await ask("/server");
    session.value = "open";
  } catch {
    // With 401 it is closed already. Anything else: the screens tell what is wrong, and go on when it is mended.
    if (session.peek() === "unknown") session.value = "open";
  }
}

applyTheme();
const entered = enter();
start();
document.addEventListener("keydown", pressed);
render(<App />, document.getElementById("app") as HTMLElement);
void entered;
