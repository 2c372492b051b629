import { Paper, Stack, Text, Title } from "@mantine/core";
import { useLocation } from "wouter";
import { DatasetList } from "../datasets/DatasetList.js";
import { NoDatasets } from "../datasets/NoDatasets.js";
import { PageTitle } from "../layout/PageTitle.js";
import { useDatasets } from "../live/queries.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { ExportForm } from "./ExportForm.js";
import classes from "./ExportPanel.module.css";

/** The datasets, and the form of the dataset that the address names. */
export function ExportPanel({ chosen }: { chosen: string | undefined }) {
  const datasets = useDatasets();
  const [, navigate] = useLocation();
  const none = datasets.data?.length === 0;
  const missing = chosen !== undefined && !none && datasets.data?.every(({ name }) => name !== chosen);
  const dataset = datasets.data?.find(({ name }) => name === chosen) ?? datasets.data?.[0];
  return (
    <Stack>
      <PageTitle page="start" name="" size="h4">
        {strings.datasets.title}
      </PageTitle>
      <QueryStatus query={datasets} height={140} />
      {none && <NoDatasets />}
      {missing && <ProblemAlert slug="unknown-dataset" detail={strings.datasets.unknown(chosen)} />}
      {datasets.data && dataset && (
        <>
          <DatasetList
            datasets={datasets.data}
            chosen={missing ? "" : dataset.name}
            onChoose={(name) => navigate(`/datasets/${encodeURIComponent(name)}`, { replace: true })}
          />
          {!missing && (
            <Paper withBorder radius="lg" shadow="xs" className={classes.panel} component="section">
              <Title order={2} size="h5">
                {dataset.title}
              </Title>
              <Text size="sm" c="dimmed" mb="md">
                {dataset.description}
              </Text>
              <ExportForm key={dataset.name} dataset={dataset} />
            </Paper>
          )}
        </>
      )}
    </Stack>
  );
}
