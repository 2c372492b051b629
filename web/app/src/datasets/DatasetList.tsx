import { Badge, Group, Stack, Text, Tooltip, UnstyledButton } from "@mantine/core";
import type { Dataset } from "@sluice/client";
import { IconTable } from "@tabler/icons-react";
import { strings } from "../strings.js";
import classes from "./DatasetList.module.css";

interface Props {
  datasets: Dataset[];
  chosen: string;
  onChoose: (name: string) => void;
}

/** One card for each dataset; the chosen one shows its columns. */
export function DatasetList({ datasets, chosen, onChoose }: Props) {
  return (
    <Stack gap="xs" role="radiogroup" aria-label={strings.datasets.title}>
      {datasets.map((dataset) => {
        const isChosen = dataset.name === chosen;
        return (
          <UnstyledButton
            key={dataset.name}
            role="radio"
            aria-checked={isChosen}
            className={classes.card}
            data-chosen={isChosen || undefined}
            data-testid={`dataset-${dataset.name}`}
            onClick={() => onChoose(dataset.name)}
          >
            <Group wrap="nowrap" align="flex-start" gap="sm">
              <IconTable size={20} className={classes.icon} aria-hidden />
              <div style={{ flex: 1, minWidth: 0 }}>
                <Group justify="space-between" gap={4}>
                  <Text fw={600}>{dataset.title}</Text>
                  <Text size="xs" c="dimmed">
                    {dataset.rows_estimate === null
                      ? strings.datasets.columns(dataset.columns.length)
                      : strings.datasets.rows(dataset.rows_estimate)}
                  </Text>
                </Group>
                <Text size="sm" c="dimmed">
                  {dataset.description}
                </Text>
                {isChosen && (
                  <Group gap={4} mt={8}>
                    {dataset.columns.map((column) => (
                      <Tooltip key={column.name} label={column.label ?? column.name} disabled={!column.label}>
                        <Badge variant="default" size="sm" tt="none" fw={500}>
                          {column.name} <span className={classes.type}>{column.type}</span>
                        </Badge>
                      </Tooltip>
                    ))}
                  </Group>
                )}
              </div>
            </Group>
          </UnstyledButton>
        );
      })}
    </Stack>
  );
}
