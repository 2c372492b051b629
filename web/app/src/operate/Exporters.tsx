import { Badge, Button, Group } from "@mantine/core";
import type { ExporterInfo } from "@sluice/client";
import { useState } from "react";
import { formatCount } from "../format.js";
import { useLive } from "../live/LiveProvider.js";
import { strings } from "../strings.js";
import { ReasonDialog } from "./ReasonDialog.js";
import { DataTable, Section } from "./Section.js";

/** The running exporters, each with a button that begins or ends its drain. */
export function Exporters({ exporters }: { exporters: readonly ExporterInfo[] }) {
  const { client } = useLive();
  const [chosen, setChosen] = useState<ExporterInfo>();
  const text = strings.operate.exporters;
  const rows = exporters.map((exporter) => {
    const { instance, draining } = exporter;
    return {
      key: instance,
      cells: [
        instance,
        exporter.pool,
        formatCount(exporter.slots),
        formatCount(exporter.dataset_count),
        <Group key="state" gap="xs" wrap="nowrap">
          <Badge variant="light" tt="none" color={draining ? "orange" : "teal"}>
            {draining ? text.draining : text.active}
          </Badge>
          <Button
            size="compact-xs"
            variant="subtle"
            aria-label={draining ? text.undrainNamed(instance) : text.drainNamed(instance)}
            onClick={() => setChosen(exporter)}
          >
            {draining ? text.undrain : text.drain}
          </Button>
        </Group>,
      ],
    };
  });
  return (
    <Section title={text.title} testId="exporters">
      <DataTable label={text.title} columns={Object.values(text.columns)} rows={rows} none={text.none} />
      {chosen && (
        <ReasonDialog
          title={chosen.draining ? text.undrainNamed(chosen.instance) : text.drainNamed(chosen.instance)}
          explain={chosen.draining ? text.undrainExplain : text.drainExplain}
          submit={chosen.draining ? text.undrain : text.drain}
          onSubmit={(reason) =>
            chosen.draining
              ? client.operate.undrain(chosen.instance, reason)
              : client.operate.drain(chosen.instance, reason)
          }
          onClose={() => setChosen(undefined)}
        />
      )}
    </Section>
  );
}
