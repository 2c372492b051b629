import { Box, Button, NativeSelect, SimpleGrid, Stack, Tabs, Text } from "@mantine/core";
import { type Dataset, SluiceError } from "@sluice/client";
import { chosenNames, columnsOf, compressionsOf, type FilterRow, filterRowAt } from "@sluice/client/form";
import { IconColumns3, IconDownload, IconEye } from "@tabler/icons-react";
import { type FormEvent, useState } from "react";
import { useStartExport } from "../exports/useStartExport.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { canChooseFile } from "../saving/browserSupport.js";
import { loadSaveLocation, type SaveLocationKind, storeSaveLocation } from "../saving/saveLocation.js";
import { strings } from "../strings.js";
import { ColumnTable } from "./ColumnTable.js";
import { EstimateBar } from "./EstimateBar.js";
import classes from "./ExportForm.module.css";
import { FilterBuilder } from "./FilterBuilder.js";
import { fieldLabel } from "./fieldErrors.js";
import { ParamsFields } from "./ParamsFields.js";
import { Preview } from "./Preview.js";
import { paramsOf } from "./params.js";
import { type Draft, emptyDraft, toRequest, withFormat, withTemplate } from "./request.js";
import { templateLabel } from "./templateLabel.js";
import { useDownloadMethod } from "./useDownloadMethod.js";
import { useEstimate } from "./useEstimate.js";

/** The form of one export of a dataset, with preview, estimate and button. */
export function ExportForm({ dataset }: { dataset: Dataset }) {
  const [draft, setDraft] = useState<Draft>(() => emptyDraft(dataset));
  const [showMissing, setShowMissing] = useState(false);
  const [submittedRows, setSubmittedRows] = useState<readonly FilterRow[]>([]);
  const change = (changes: Partial<Draft>) => setDraft((before) => ({ ...before, ...changes }));
  const request = toRequest(dataset, draft);
  const estimated = useEstimate(request);
  const start = useStartExport((started) => {
    requestAnimationFrame(() => {
      document
        .querySelector(`[data-export-id="${CSS.escape(started.id)}"]`)
        ?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    });
  });
  const params = paramsOf(dataset.params);
  const fieldErrors = start.error ? SluiceError.from(start.error).errors : [];
  // the server's error does not apply to a row that the user has changed since
  const rowErrors = new Map(
    fieldErrors.flatMap(({ pointer, detail }): [number, string][] => {
      const row = filterRowAt(submittedRows, pointer);
      return row && draft.rows.includes(row) ? [[row.key, detail]] : [];
    }),
  );

  const submit = (event: FormEvent) => {
    event.preventDefault();
    setShowMissing(!request);
    if (request) {
      setSubmittedRows(draft.rows);
      start.mutate({ request, size: estimated.estimate?.bytes ?? undefined });
    }
  };

  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        {params.length > 0 && (
          <ParamsFields
            params={params}
            values={draft.values}
            errors={fieldErrors}
            showMissing={showMissing}
            onChange={(name, value) => change({ values: { ...draft.values, [name]: value } })}
          />
        )}
        <FilterBuilder
          columns={dataset.columns.filter((column) => !column.masked)}
          rows={draft.rows}
          match={draft.match}
          showMissing={showMissing}
          fieldErrors={rowErrors}
          onRows={(rows) => change({ rows })}
          onMatch={(match) => change({ match })}
        />
        <PreviewTabs dataset={dataset} draft={draft} change={change} estimated={estimated} />
        <Options
          dataset={dataset}
          draft={draft}
          change={change}
          size={estimated.estimate?.bytes ?? undefined}
        />
      </Stack>
      <Box className={classes.foot}>
        {start.isError && (
          <Box mb="sm">
            <ProblemAlert
              error={start.error}
              label={(field) => fieldLabel(field, submittedRows, dataset)}
              onClose={start.reset}
            />
          </Box>
        )}
        {start.data?.joined && (
          <Text size="sm" mb={4} role="status" data-testid="joined">
            {strings.form.joined}
          </Text>
        )}
        <EstimateBar
          dataset={dataset}
          estimated={estimated}
          filtered={draft.rows.length > 0 || Object.keys(draft.values).length > 0}
        />
        <Button
          type="submit"
          size="md"
          mt={6}
          fullWidth
          loading={start.isPending}
          leftSection={<IconDownload size={18} />}
          data-testid="export-button"
        >
          {strings.form.submit}
        </Button>
      </Box>
    </form>
  );
}

interface PartProps {
  dataset: Dataset;
  draft: Draft;
  change: (changes: Partial<Draft>) => void;
}

/** Shows two tabs: the first rows, and the columns to choose. */
function PreviewTabs({
  dataset,
  draft,
  change,
  estimated,
}: PartProps & { estimated: ReturnType<typeof useEstimate> }) {
  const text = strings.form;
  const columns = columnsOf(dataset, draft.template);
  const chosenColumns = chosenNames(draft.columns)
    .map((name) => columns.find((column) => column.name === name))
    .filter((column) => column !== undefined);
  return (
    <Tabs
      key={String(estimated.unsupported)}
      defaultValue={estimated.unsupported ? "columns" : "preview"}
      keepMounted={false}
    >
      <Tabs.List>
        {!estimated.unsupported && (
          <Tabs.Tab value="preview" leftSection={<IconEye size={15} aria-hidden />}>
            {text.preview}
          </Tabs.Tab>
        )}
        <Tabs.Tab
          value="columns"
          leftSection={<IconColumns3 size={15} aria-hidden />}
          data-testid="columns-tab"
        >
          {text.columnsOf(chosenColumns.length, columns.length)}
        </Tabs.Tab>
      </Tabs.List>
      {!estimated.unsupported && (
        <Tabs.Panel value="preview" pt="xs">
          <Preview estimated={estimated} columns={chosenColumns} />
        </Tabs.Panel>
      )}
      <Tabs.Panel value="columns" pt="xs">
        <ColumnTable
          columns={columns}
          choices={draft.columns}
          onChange={(choices) => change({ columns: choices })}
        />
      </Tabs.Panel>
    </Tabs>
  );
}

/** Fields for format, template, compression and save location. */
function Options({ dataset, draft, change, size }: PartProps & { size: number | undefined }) {
  const text = strings.form;
  const method = useDownloadMethod(size);
  const [saveLocation, setSaveLocation] = useState<SaveLocationKind>(() => loadSaveLocation());
  const compressions = compressionsOf(dataset, draft.format);
  return (
    <>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
        {dataset.templates.length > 1 && (
          <NativeSelect
            label={text.template}
            style={{ gridColumn: "1 / -1" }} // its lines are long
            data={dataset.templates.map((template) => ({
              value: template.name,
              label: templateLabel(template, draft.format),
            }))}
            value={draft.template}
            onChange={(event) => change(withTemplate(dataset, draft, event.currentTarget.value))}
            data-testid="template"
          />
        )}
        <NativeSelect
          label={text.format}
          data={dataset.formats.map((name) => ({ value: name, label: text.formatName(name) }))}
          value={draft.format}
          onChange={(event) => change(withFormat(dataset, draft, event.currentTarget.value))}
          data-testid="format"
        />
        {compressions.length > 1 && (
          <NativeSelect
            label={text.compression}
            data={compressions.map((name) => ({
              value: name,
              label: name === "none" ? text.noCompression : name,
            }))}
            value={draft.compression}
            onChange={(event) => change({ compression: event.currentTarget.value })}
            data-testid="compression"
          />
        )}
        {canChooseFile(window) && (
          <NativeSelect
            label={text.saveLocation}
            data={[
              { value: "downloads", label: text.saveLocations.downloads },
              { value: "file", label: text.saveLocations.file },
            ]}
            value={saveLocation}
            onChange={(event) => {
              const kind = event.currentTarget.value === "file" ? "file" : "downloads";
              setSaveLocation(kind);
              storeSaveLocation(kind);
            }}
            data-testid="save-location"
          />
        )}
      </SimpleGrid>
      <Text size="xs" c="dimmed" mt={-8}>
        {saveLocation === "file" ? text.savesToFile : text.savesToDownloads(method)}
      </Text>
    </>
  );
}
