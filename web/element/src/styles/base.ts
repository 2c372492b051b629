/**
 * Colors and shapes that the page can set, and the button. `light-dark()` follows the page's `color-scheme`, so that a
 * page without a dark theme never gets a dark button.
 */
export const baseCss = `
:host {
  --_accent: var(--sluice-accent, light-dark(#0b6bcb, #5aa9f5));
  --_on-accent: var(--sluice-on-accent, light-dark(#fff, #06182b));
  --_surface: var(--sluice-surface, light-dark(#fff, #1c2128));
  --_text: var(--sluice-text, light-dark(#1a2027, #e8edf2));
  --_muted: var(--sluice-muted, light-dark(#566270, #a6b1bd));
  --_border: var(--sluice-border, light-dark(#818c98, #768390));
  --_danger: var(--sluice-danger, light-dark(#b3261e, #ff8d84));
  --_success: var(--sluice-success, light-dark(#19703b, #62cf8c));
  --_radius: var(--sluice-radius, 8px);
  --_font: var(--sluice-font, inherit);
  --_gap: var(--sluice-gap, 8px);
  display: inline-block;
  font-family: var(--_font);
  color: var(--_text);
  vertical-align: middle;
}
:host([hidden]), [hidden] { display: none !important; }
*, ::before, ::after { box-sizing: border-box; }
button, select, input, textarea { font: inherit; }
svg {
  display: block; inline-size: 1.15em; block-size: 1.15em;
  fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round;
}
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
.live {
  position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap;
}
.base { display: inline-grid; grid-template-columns: auto 1fr; align-items: center; gap: 6px; position: relative; max-inline-size: 100%; }
.frame { position: relative; display: inline-flex; min-inline-size: 0; }
.button {
  display: inline-flex; align-items: center; gap: var(--_gap); inline-size: 100%; min-block-size: 2.75em;
  padding: .45em 1.1em; border: 1px solid transparent; border-radius: var(--_radius);
  background: var(--_accent); color: var(--_on-accent); font-weight: 600; line-height: 1.2; cursor: pointer; text-align: start;
}
.button:hover { background: color-mix(in srgb, var(--_accent) 88%, var(--_text)); }
.button:disabled { opacity: .55; cursor: not-allowed; }
.icon { flex: none; }
.text { display: grid; min-inline-size: 0; }
.text > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.text > *, .message { text-align: match-parent; }
.status:empty, .detail:empty { display: none; }
.detail { font-weight: 400; font-size: .8em; font-variant-numeric: tabular-nums; opacity: .95; }
.status { font-variant-numeric: tabular-nums; }
.base:not([data-phase="idle"]) .label { display: none; }
.base:not([data-phase="idle"], [data-phase="failed"]) .button {
  min-inline-size: min(17em, 100%); cursor: default;
  background: var(--_surface); color: var(--_text); border-color: var(--_border);
}
.base[data-phase="saved"] .button { border-color: var(--_success); }
.base[data-phase="saved"] .icon { color: var(--_success); }
.base[data-phase="failed"] .button { background: var(--_surface); color: var(--_danger); border-color: var(--_danger); }
.base[data-phase="failed"] .label { display: none; }
.bar {
  position: absolute; inset-inline: 1px; inset-block-end: 1px; block-size: 4px; overflow: hidden;
  border-end-start-radius: calc(var(--_radius) - 1px); border-end-end-radius: calc(var(--_radius) - 1px);
  background: color-mix(in srgb, var(--_accent) 18%, transparent); pointer-events: none;
}
.fill { display: block; block-size: 100%; inline-size: 100%; background: var(--_accent); transition: inline-size .2s linear; }
.bar[data-indeterminate] .fill { inline-size: 35%; animation: slide 1.6s ease-in-out infinite; }
.base[data-interrupted] .fill { background: var(--_muted); animation-play-state: paused; }
@keyframes slide { from { margin-inline-start: -35%; } to { margin-inline-start: 100%; } }
.cancel, .ghost {
  display: inline-grid; place-items: center; min-inline-size: 2.25em; min-block-size: 2.25em; padding: 0;
  border: 0; border-radius: var(--_radius); background: none; color: var(--_muted); cursor: pointer;
}
.cancel:hover, .ghost:hover { color: var(--_text); background: color-mix(in srgb, var(--_text) 9%, transparent); }
.cancel { justify-self: start; }
.message { grid-column: 1 / -1; margin: 0; max-inline-size: 32em; font-size: .875em; color: var(--_danger); }
@media (prefers-reduced-motion: reduce) {
  .fill { transition: none; }
  .bar[data-indeterminate] .fill { animation: none; inline-size: 100%; opacity: .5; }
}
@media (forced-colors: active) {
  .fill { background: Highlight; }
  .button { border-color: ButtonText; }
}
`;
