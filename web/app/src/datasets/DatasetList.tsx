import { Group, Stack, Text, TextInput, UnstyledButton } from "@mantine/core";
import type { Dataset } from "@sluice/client";
import { IconSearch, IconTable } from "@tabler/icons-react";
import { useState } from "react";
import { strings } from "../strings.js";
import classes from "./DatasetList.module.css";
import { searchDatasets } from "./searchDatasets.js";

/** Minimum number of datasets for which the list has a search field. */
const SEARCH_THRESHOLD = 20;

interface Props {
  datasets: Dataset[];
  chosen: string;
  onChoose: (name: string) => void;
}

/** The datasets that the user may export, as a group of radio buttons. */
export function DatasetList({ datasets, chosen, onChoose }: Props) {
  const [search, setSearch] = useState("");
  const query = search.trim();
  const shown = searchDatasets(datasets, query);
  const isChosenShown = shown.some(({ name }) => name === chosen);
  return (
    <Stack gap="xs">
      {datasets.length >= SEARCH_THRESHOLD && (
        <>
          <TextInput
            type="search"
            aria-label={strings.datasets.search}
            placeholder={strings.datasets.search}
            leftSection={<IconSearch size={16} aria-hidden />}
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
            data-testid="dataset-search"
          />
          <Text size="sm" c="dimmed" role="status" data-testid="dataset-count">
            {query === "" ? "" : strings.datasets.found(shown.length, datasets.length)}
          </Text>
        </>
      )}
      <div role="radiogroup" aria-label={strings.datasets.title} className={classes.list}>
        {shown.map((dataset, index) => (
          <Card
            key={dataset.name}
            dataset={dataset}
            isChosen={dataset.name === chosen}
            isTabStop={isChosenShown ? dataset.name === chosen : index === 0}
            onChoose={onChoose}
            onMove={(by) => {
              const next = shown[shown.indexOf(dataset) + by];
              if (next) {
                onChoose(next.name);
                document.getElementById(`dataset-${next.name}`)?.focus();
              }
            }}
          />
        ))}
      </div>
    </Stack>
  );
}

interface CardProps {
  dataset: Dataset;
  isChosen: boolean;
  /** Whether Tab reaches this card of the group. */
  isTabStop: boolean;
  onChoose: (name: string) => void;
  /** Moves the focus to the next or previous card, as in every radio group. */
  onMove: (by: 1 | -1) => void;
}

function Card({ dataset, isChosen, isTabStop, onChoose, onMove }: CardProps) {
  return (
    <UnstyledButton
      id={`dataset-${dataset.name}`}
      role="radio"
      aria-checked={isChosen}
      tabIndex={isTabStop ? 0 : -1}
      className={classes.card}
      data-chosen={isChosen || undefined}
      data-testid={`dataset-${dataset.name}`}
      onClick={() => onChoose(dataset.name)}
      onKeyDown={(event) => {
        const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
        if (by === 1 || by === -1) {
          event.preventDefault();
          onMove(by);
        }
      }}
    >
      <Group wrap="nowrap" align="flex-start" gap="sm">
        <IconTable size={20} className={classes.icon} aria-hidden />
        <div style={{ flex: 1, minWidth: 0 }}>
          <Text fw={600} truncate>
            {dataset.title}
          </Text>
          <Text size="xs" className={classes.facts}>
            {[
              dataset.rows_estimate == null ? undefined : strings.datasets.rows(dataset.rows_estimate),
              strings.datasets.columns(dataset.columns.length),
            ]
              .filter(Boolean)
              .join(" · ")}
          </Text>
        </div>
      </Group>
    </UnstyledButton>
  );
}
