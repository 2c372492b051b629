import { Button, Group, MultiSelect, NativeSelect, SimpleGrid, Stack, Text } from "@mantine/core";
import { type Dataset, type ExportRequest, SluiceError } from "@sluice/client";
import { IconDownload } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { keys, putExport } from "../live/follow.js";
import { useLive } from "../live/LiveProvider.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { FilterBuilder } from "./FilterBuilder.js";
import { type FilterRow, isIncomplete, type Match, toFilter } from "./filter.js";
import { ParamsFields } from "./ParamsFields.js";
import { paramsOf, toParams } from "./params.js";

/** Everything one export of this dataset may be given, and the button. */
export function ExportForm({ dataset }: { dataset: Dataset }) {
  const { client, saver, connection } = useLive();
  const queries = useQueryClient();
  const params = paramsOf(dataset.params);
  const [columns, setColumns] = useState<string[]>([]);
  const [template, setTemplate] = useState(dataset.templates[0]?.name);
  const [format, setFormat] = useState(dataset.formats[0] ?? "csv");
  const [compression, setCompression] = useState("none");
  const [values, setValues] = useState<Record<string, unknown>>({});
  const [rows, setRows] = useState<FilterRow[]>([]);
  const [match, setMatch] = useState<Match>("all");
  const [showMissing, setShowMissing] = useState(false);

  const start = useMutation({
    mutationFn: (request: ExportRequest) =>
      client.start(request, { deliver: saver.hasRoom() ? "stream" : "notify" }),
    onSuccess: (started) => {
      putExport(queries, started.export);
      void saver.save(started.export.id, started.announced);
      requestAnimationFrame(() => {
        document
          .querySelector(`[data-export-id="${CSS.escape(started.export.id)}"]`)
          ?.scrollIntoView({ block: "nearest", behavior: "smooth" });
      });
      if (connection.name !== "live") {
        void queries.invalidateQueries({ queryKey: keys.credits });
      }
    },
  });
  const fieldErrors = start.error ? SluiceError.from(start.error).errors : [];

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const incomplete = rows.some(isIncomplete);
    setShowMissing(incomplete);
    if (incomplete) {
      return;
    }
    const filter = toFilter(rows, dataset.columns, match);
    const given = toParams(values);
    start.mutate({
      dataset: dataset.name,
      ...(template ? { template } : undefined),
      format,
      ...(compression === "none" ? undefined : { compression }),
      ...(columns.length > 0 ? { columns } : undefined),
      ...(filter ? { filter } : undefined),
      ...(given ? { params: given } : undefined),
    });
  };

  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        {params.length > 0 && (
          <ParamsFields
            params={params}
            values={values}
            errors={fieldErrors}
            onChange={(name, value) => setValues((before) => ({ ...before, [name]: value }))}
          />
        )}
        <FilterBuilder
          columns={dataset.columns}
          rows={rows}
          match={match}
          showMissing={showMissing}
          onRows={setRows}
          onMatch={setMatch}
        />
        <MultiSelect
          label={strings.form.columns}
          placeholder={columns.length === 0 ? strings.form.columnsHint : undefined}
          data={dataset.columns.map((column) => ({ value: column.name, label: column.label ?? column.name }))}
          value={columns}
          onChange={setColumns}
          clearable
          data-testid="columns"
        />
        <SimpleGrid cols={{ base: 2 }} spacing="sm">
          <NativeSelect
            label={strings.form.format}
            data={dataset.formats.map((name) => ({ value: name, label: name.toUpperCase() }))}
            value={format}
            onChange={(event) => setFormat(event.currentTarget.value)}
            data-testid="format"
          />
          {dataset.templates.length > 1 && (
            <NativeSelect
              label={strings.form.template}
              data={dataset.templates.map(({ name, title }) => ({ value: name, label: title }))}
              value={template}
              onChange={(event) => setTemplate(event.currentTarget.value)}
              data-testid="template"
            />
          )}
          {(dataset.compressions?.length ?? 0) > 1 && (
            <NativeSelect
              label={strings.form.compression}
              data={(dataset.compressions ?? []).map((name) => ({
                value: name,
                label: name === "none" ? strings.form.noCompression : name,
              }))}
              value={compression}
              onChange={(event) => setCompression(event.currentTarget.value)}
              data-testid="compression"
            />
          )}
        </SimpleGrid>
        {start.isError && <ProblemAlert error={start.error} onClose={start.reset} />}
        <Button
          type="submit"
          size="md"
          fullWidth
          loading={start.isPending}
          leftSection={<IconDownload size={18} />}
          data-testid="export-button"
        >
          {strings.form.submit}
        </Button>
        <Group justify="space-between" gap={4}>
          <Text size="xs" c="dimmed">
            {strings.form.saves}
          </Text>
          <Text size="xs" c="dimmed">
            {strings.form.cost(dataset.credits ?? 1)}
          </Text>
        </Group>
      </Stack>
    </form>
  );
}
