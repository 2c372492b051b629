/** The styles of the dialog with filter, columns and format. */
export const dialogCss = `
dialog {
  inline-size: min(40rem, calc(100vw - 2rem)); max-block-size: min(46rem, calc(100dvh - 2rem)); padding: 0;
  border: 1px solid color-mix(in srgb, var(--_border) 60%, transparent); border-radius: calc(var(--_radius) * 1.5);
  background: var(--_surface); color: var(--_text); overflow: hidden;
  font-size: 1rem; font-weight: 400; text-align: start; white-space: normal;
  box-shadow: 0 12px 40px rgb(0 0 0 / .3);
}
dialog[open] { display: flex; }
dialog::backdrop { background: rgb(10 16 24 / .5); }
dialog form { display: flex; flex-direction: column; min-block-size: 0; inline-size: 100%; }
header, footer { display: flex; align-items: center; gap: .75rem; padding: .9rem 1.25rem; flex: none; }
header { justify-content: space-between; padding-block-end: .25rem; }
h2 { margin: 0; font-size: 1.15rem; line-height: 1.3; overflow-wrap: anywhere; }
.body { display: grid; gap: 1.25rem; padding: .75rem 1.25rem 1.25rem; overflow-y: auto; min-block-size: 0; }
footer {
  justify-content: space-between; flex-wrap: wrap;
  border-block-start: 1px solid color-mix(in srgb, var(--_border) 40%, transparent);
}
.estimate { display: grid; gap: .1rem; font-size: .9rem; font-variant-numeric: tabular-nums; flex: 1 1 12rem; }
.estimate .cost, .hint { color: var(--_muted); font-size: .85rem; }
.hint { margin: 0; }
fieldset { border: 0; padding: 0; margin: 0; min-inline-size: 0; display: grid; gap: .6rem; }
legend { padding: 0; font-weight: 600; margin-block-end: .5rem; }
.section-head { display: flex; align-items: center; gap: .5rem; flex-wrap: wrap; }
.grow { flex: 1; }
select, input:not([type="checkbox"]), textarea {
  inline-size: 100%; min-block-size: 2.4em; padding: .35em .55em; border: 1px solid var(--_border);
  border-radius: calc(var(--_radius) * .75); background: var(--_surface); color: var(--_text);
}
textarea { min-block-size: 4.2em; resize: vertical; }
[aria-invalid="true"] { border-color: var(--_danger); }
.conditions { display: grid; gap: .6rem; }
.conditions:empty { display: none; }
.section-head > select { inline-size: auto; min-block-size: 2.2em; padding-block: .2em; font-size: .875rem; }
.row { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) minmax(0, 1.4fr) auto; gap: .5rem; align-items: start; }
.row .values { display: grid; grid-template-columns: minmax(0, 1fr); gap: .4rem; }
.row .ghost { min-block-size: 2.4em; }
.row[data-wide] { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) auto; }
.row[data-wide] .values { grid-row: 2; grid-column: 1 / 3; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
.row .error { grid-column: 1 / -1; }
.error { margin: 0; color: var(--_danger); font-size: .85rem; overflow-wrap: anywhere; }
.columns {
  display: grid; gap: .1rem; max-block-size: 13rem; overflow-y: auto; padding: .5rem .6rem;
  border: 1px solid color-mix(in srgb, var(--_border) 55%, transparent); border-radius: calc(var(--_radius) * .75);
}
.columns > * { display: flex; align-items: center; gap: .25rem; min-inline-size: 0; min-block-size: 1.9em; }
.columns .ghost { min-inline-size: 1.75em; min-block-size: 1.75em; }
.columns [aria-disabled="true"] { opacity: .35; cursor: default; }
.columns label { flex: 1; display: flex; gap: .5rem; align-items: center; padding-block: .2rem; min-inline-size: 0; overflow-wrap: anywhere; }
input[type="checkbox"] { accent-color: var(--_accent); inline-size: 1.1em; block-size: 1.1em; flex: none; margin: 0; }
.field { display: grid; gap: .3rem; font-weight: 600; }
.field > select { font-weight: 400; max-inline-size: 16rem; }
.small {
  display: inline-flex; align-items: center; gap: .35rem; min-block-size: 2.2em; padding: .2em .8em; cursor: pointer;
  border: 1px solid color-mix(in srgb, var(--_border) 60%, transparent); border-radius: calc(var(--_radius) * .75);
  background: none; color: var(--_text); font-size: .875rem;
}
.small:hover { background: color-mix(in srgb, var(--_text) 7%, transparent); }
.submit {
  min-block-size: 2.75em; padding: .45em 1.4em; border: 1px solid transparent; border-radius: var(--_radius);
  background: var(--_accent); color: var(--_on-accent); font-weight: 600; cursor: pointer;
}
.submit:hover { background: color-mix(in srgb, var(--_accent) 88%, var(--_text)); }
.submit[aria-disabled="true"] { opacity: .55; cursor: default; }
@media (max-height: 30rem) {
  dialog form { overflow-y: auto; }
  .body { flex: none; overflow-y: visible; }
}
@media (max-width: 34rem) {
  .row, .row[data-wide] { grid-template-columns: minmax(0, 1fr) auto; }
  .row > :nth-child(2), .row > .values, .row[data-wide] .values { grid-column: 1; grid-row: auto; }
  .row > :nth-child(4) { grid-column: 2; grid-row: 1; }
}
`;
