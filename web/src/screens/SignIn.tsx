/** Who has no session shows a token. */
import { useState } from "preact/hooks";
import { signIn, words } from "../api";
import { useTitle } from "../parts/ui";

export function SignIn() {
  const [token, setToken] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  useTitle("Sign in");
  return (
    <main class="sign-in" tabIndex={-1}>
      <form
        class="panel"
        onSubmit={(event) => {
          event.preventDefault();
          setBusy(true);
          setError("");
          signIn(token.trim())
            .catch((reason: unknown) => setError(words(reason)))
            .finally(() => setBusy(false));
        }}
      >
        <h1>
          <img src="/icon.svg" width="28" height="28" alt="" /> Sign in to relevo
        </h1>
        <label>
          Token
          <input
            class="field"
            type="password"
            autocomplete="current-password"
            required
            value={token}
            aria-describedby="sign-in-help"
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        {error && (
          <p class="trouble" role="alert">
            {error}
          </p>
        )}
        <button type="submit" class="button primary" disabled={busy || !token.trim()}>
          Sign in
        </button>
        <p id="sign-in-help" class="muted">
          <code>relevo up</code> prints a link with the token when it first starts, and keeps it in its home.
        </p>
      </form>
    </main>
  );
}
