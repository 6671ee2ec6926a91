/** Dark, light, or as the system has it. `public/theme.js` applies it before the first paint. */
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEY = "relevo.theme";

function stored(): Theme {
  try {
    const told = localStorage.getItem(KEY);
    return told === "light" || told === "dark" ? told : "system";
  } catch {
    return "system";
  }
}

export const theme = signal<Theme>(stored());

export function nextTheme(): void {
  theme.value = theme.value === "system" ? "light" : theme.value === "light" ? "dark" : "system";
}

export function applyTheme(): void {
  effect(() => {
    if (theme.value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.value;
    try {
      if (theme.value === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme.value);
    } catch {
      // It lasts as long as the tab.
    }
  });
}
