import { Group, Loader, Text } from "@mantine/core";
import type { Dataset } from "@sluice/client";
import { formatBytes, formatDuration } from "../format.js";
import { strings } from "../strings.js";
import type { Estimated } from "./useEstimate.js";

interface Props {
  dataset: Dataset;
  estimated: Estimated;
  /** Whether a filter or parameter is set; the dataset's row count is then only an upper bound. */
  filtered: boolean;
}

/** Estimate of rows, size, time and credits of the export. */
export function EstimateBar({ dataset, estimated, filtered }: Props) {
  const { estimate, pending, unsupported } = estimated;
  const text = strings.form;
  const details = estimate ? estimateText(estimate) : undefined;
  const size =
    details ?? (dataset.rows_estimate == null ? undefined : strings.datasets.rows(dataset.rows_estimate));
  const credits = estimate?.credits ?? dataset.credits;
  return (
    <Group justify="space-between" gap="xs" mih={22} data-testid="estimate" role="status">
      <Text size="sm" fw={500} style={{ fontVariantNumeric: "tabular-nums" }}>
        {estimated.error ? text.noEstimate : unsupported && filtered ? text.atMost(size ?? "") : (size ?? "")}
      </Text>
      <Group gap={6}>
        {pending && <Loader size={12} role="status" aria-label={strings.loading} />}
        <Text size="sm" c="dimmed">
          {text.cost(credits)}
        </Text>
      </Group>
    </Group>
  );
}

function estimateText(estimate: NonNullable<Estimated["estimate"]>): string {
  const { rows, bytes, seconds, exact } = estimate;
  const count = rows == null ? undefined : strings.exports.rowCount(rows);
  return [
    count && !exact ? strings.form.about(count) : count,
    bytes == null ? undefined : formatBytes(bytes),
    seconds == null ? undefined : formatDuration(Math.max(1, Math.round(seconds)) * 1000),
  ]
    .filter((part) => part !== undefined)
    .join(" · ");
}
