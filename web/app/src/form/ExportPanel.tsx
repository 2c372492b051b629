import { Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useState } from "react";
import { DatasetList } from "../datasets/DatasetList.js";
import { useDatasets } from "../live/queries.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { ExportForm } from "./ExportForm.js";

/** The datasets, and the form of the chosen one. */
export function ExportPanel() {
  const datasets = useDatasets();
  const [chosen, setChosen] = useState<string>();
  const dataset = datasets.data?.find((one) => one.name === chosen) ?? datasets.data?.[0];
  return (
    <Stack>
      <Title order={2} size="h4">
        {strings.datasets.title}
      </Title>
      {datasets.isPending && <Skeleton height={140} radius="md" aria-label={strings.loading} />}
      {datasets.isError && <ProblemAlert error={datasets.error} onRetry={() => void datasets.refetch()} />}
      {datasets.data?.length === 0 && <Text c="dimmed">{strings.datasets.empty}</Text>}
      {datasets.data && dataset && (
        <>
          <DatasetList datasets={datasets.data} chosen={dataset.name} onChoose={setChosen} />
          <Paper withBorder radius="lg" p={{ base: "sm", sm: "lg" }} shadow="xs">
            <ExportForm key={dataset.name} dataset={dataset} />
          </Paper>
        </>
      )}
    </Stack>
  );
}
