// Before the first paint, so that nobody sees the other theme flash. Kept apart because the page allows no inline scripts.
try {
  const theme = localStorage.getItem("relevo.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's theme it is.
}
