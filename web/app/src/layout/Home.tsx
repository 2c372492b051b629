import { Grid } from "@mantine/core";
import { ExportList } from "../exports/ExportList.js";
import { ExportPanel } from "../form/ExportPanel.js";

/** The start page: the form on the left and the exports on the right, or the exports below the form on a phone. */
export function Home({ dataset }: { dataset?: string }) {
  return (
    <Grid gap="xl">
      <Grid.Col span={{ base: 12, md: 6, lg: 7 }}>
        <ExportPanel chosen={dataset} />
      </Grid.Col>
      <Grid.Col span={{ base: 12, md: 6, lg: 5 }}>
        <ExportList />
      </Grid.Col>
    </Grid>
  );
}
