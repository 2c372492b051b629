import { Group, Text } from "@mantine/core";
import { formatDay } from "../format.js";
import { strings } from "../strings.js";
import classes from "./DayChart.module.css";
import type { Day } from "./exportsPerDay.js";

const HEIGHT = 96;
const BAR = 20;
const GAP = 8;

/**
 * Stacked bar chart of exports per day: completed ones at the bottom, others on top. States when older exports are left
 * out.
 */
export function DayChart({ days, isComplete }: { days: readonly Day[]; isComplete: boolean }) {
  const highest = Math.max(1, ...days.map((day) => day.completed + day.other));
  const width = days.length * (BAR + GAP) - GAP;
  const height = (count: number) => (count / highest) * HEIGHT;
  const total = days.reduce((sum, day) => sum + day.completed + day.other, 0);
  const [first, last] = [days[0], days.at(-1)];
  return (
    <figure className={classes.figure}>
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`}
        preserveAspectRatio="none"
        className={classes.chart}
        role="img"
        aria-label={
          isComplete ? strings.history.chart(total, days.length) : strings.history.chartOfNewest(total)
        }
        data-testid="day-chart"
      >
        {days.map((day, index) => {
          const x = index * (BAR + GAP);
          const done = height(day.completed);
          const rest = height(day.other);
          return (
            <g key={day.at}>
              <title>{strings.history.day(day.at, day.completed, day.other)}</title>
              <rect className={classes.ground} x={x} y={0} width={BAR} height={HEIGHT} rx={3} />
              <rect className={classes.other} x={x} y={HEIGHT - done - rest} width={BAR} height={rest} />
              <rect className={classes.done} x={x} y={HEIGHT - done} width={BAR} height={done} />
            </g>
          );
        })}
      </svg>
      <figcaption>
        <Group justify="space-between">
          <Text size="xs" c="dimmed">
            {first && formatDay(first.at)}
          </Text>
          <Text size="xs" c="dimmed">
            {last && formatDay(last.at)}
          </Text>
        </Group>
        <Group gap="md" justify="center">
          <Legend className={classes.doneKey ?? ""} label={strings.history.done} />
          <Legend className={classes.otherKey ?? ""} label={strings.history.other} />
        </Group>
      </figcaption>
      {!isComplete && (
        <Text size="xs" c="dimmed" ta="center">
          {strings.history.chartOfNewest(total)}
        </Text>
      )}
    </figure>
  );
}

function Legend({ className, label }: { className: string; label: string }) {
  return (
    <Group gap={6}>
      <span className={className} aria-hidden />
      <Text size="xs">{label}</Text>
    </Group>
  );
}
