import { Button, Group, ScrollArea, Skeleton, Table, Text } from "@mantine/core";
import type { Column } from "@sluice/client";
import { problemText, strings } from "../strings.js";
import type { Estimated } from "./useEstimate.js";

interface Props {
  estimated: Estimated;
  /** Columns in the order of the file. */
  columns: Column[];
}

/** The first rows of the export. */
export function Preview({ estimated, columns }: Props) {
  const { estimate, error, pending, retry } = estimated;
  if (error) {
    // the form shows errors only after the user submits the request, because the user may still be typing
    const isInputError = error.status >= 400 && error.status < 500 && error.slug !== "rate-limited";
    return (
      <Group gap="xs" role="status" data-testid="preview-problem">
        <Text size="sm" c="dimmed">
          {problemText(error.slug).title}. {strings.form.previewLater}
        </Text>
        {!isInputError && (
          <Button size="compact-xs" variant="default" loading={pending} onClick={retry}>
            {strings.retry}
          </Button>
        )}
      </Group>
    );
  }
  if (!estimate) {
    return pending ? (
      <Skeleton height={120} radius="md" role="status" aria-label={strings.loading} />
    ) : (
      <Text size="sm" c="dimmed">
        {strings.form.noPreview}
      </Text>
    );
  }
  if (estimate.preview.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {strings.form.emptyPreview}
      </Text>
    );
  }
  const isNumber = (type: string) => type === "int" || type === "float" || type === "decimal";
  return (
    <ScrollArea.Autosize
      mah={330}
      type="auto"
      viewportProps={{ tabIndex: 0, "aria-label": strings.form.preview }}
    >
      <Table
        striped
        stickyHeader
        verticalSpacing={4}
        horizontalSpacing="sm"
        fz="xs"
        style={{ whiteSpace: "nowrap" }}
        aria-busy={pending}
        data-testid="preview"
      >
        <Table.Thead>
          <Table.Tr>
            {columns.map((column) => (
              <Table.Th key={column.name} ta={isNumber(column.type) ? "right" : "left"}>
                {column.label ?? column.name}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {estimate.preview.map((row, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows have no name of their own
            <Table.Tr key={index}>
              {columns.map((column) => (
                <Table.Td
                  key={column.name}
                  ta={isNumber(column.type) ? "right" : "left"}
                  style={{ fontVariantNumeric: "tabular-nums" }}
                >
                  <Cell value={row[column.name]} />
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </ScrollArea.Autosize>
  );
}

/** Shows a value as in the file; `undefined` is one that the preview does not have, such as of a column just added. */
function Cell({ value }: { value: unknown }) {
  if (value === null || value === undefined) {
    return (
      <Text span fz="inherit" c="dimmed">
        {value === null ? strings.form.null : strings.form.notShown}
      </Text>
    );
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
