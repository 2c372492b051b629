import { createTheme, type MantineColorsTuple } from "@mantine/core";

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

/** The look of the page: system fonts, soft corners, one water-blue accent. */
export const theme = createTheme({
  colors: { water },
  primaryColor: "water",
  primaryShade: { light: 8, dark: 7 },
  autoContrast: true,
  defaultRadius: "md",
  fontFamily: 'Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: "650" },
});
