import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

const water: MantineColorsTuple = [
  "#e6f8fb",
  "#d3ecf1",
  "#a8d8e2",
  "#79c4d3",
  "#54b2c6",
  "#3ca8be",
  "#2ba2bb",
  "#188da4",
  "#0c7285",
  "#005d6f",
];

/** Theme of the page: system fonts, rounded corners, one water-blue accent. */
export const theme = createTheme({
  colors: { water },
  primaryColor: "water",
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  respectReducedMotion: true,
  defaultRadius: "md",
  fontFamily: 'Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: "650" },
});

/** Overrides colors of the library whose contrast is too low for small text (WCAG 2.2, 1.4.3). */
export const variables: CSSVariablesResolver = (all) => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": all.colors.gray[7],
    "--mantine-color-placeholder": all.colors.gray[7],
    "--mantine-color-teal-light-color": "#05674b",
    "--mantine-color-red-light-color": "#a31515",
    "--mantine-color-orange-light-color": "#9a3a00",
    "--mantine-color-gray-light-color": all.colors.gray[8],
    "--mantine-color-yellow-light-color": "#7a4a00",
    "--mantine-color-red-outline": "#a31515",
    "--mantine-color-error": "#a31515",
  },
  dark: {
    "--mantine-color-dimmed": all.colors.dark[1],
    "--mantine-color-placeholder": all.colors.dark[1],
    "--mantine-color-teal-light-color": all.colors.teal[2],
    "--mantine-color-red-light-color": all.colors.red[2],
    "--mantine-color-orange-light-color": all.colors.orange[2],
    "--mantine-color-gray-light-color": all.colors.gray[2],
    "--mantine-color-yellow-light-color": all.colors.yellow[2],
    "--mantine-color-red-outline": all.colors.red[2],
    "--mantine-color-error": all.colors.red[3],
    "--mantine-color-anchor": "#79c4d3",
    "--mantine-color-water-light-color": "#a8d8e2",
  },
});
