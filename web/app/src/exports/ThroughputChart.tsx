import { strings } from "../strings.js";
import classes from "./ThroughputChart.module.css";

const WIDTH = 240;
const HEIGHT = 36;

/**
 * Chart of the throughput of the last minute, one point each half second. Renders nothing for fewer than two points.
 */
export function ThroughputChart({ rates }: { rates: readonly number[] }) {
  const last = rates.at(-1);
  if (last === undefined || rates.length < 2) {
    return null;
  }
  const top = Math.max(...rates, 1);
  const x = (index: number) => (index / (rates.length - 1)) * WIDTH;
  const y = (rate: number) => HEIGHT - 2 - (rate / top) * (HEIGHT - 4);
  const line = rates.map((rate, index) => `${x(index).toFixed(1)},${y(rate).toFixed(1)}`).join(" ");
  return (
    <svg
      className={classes.chart}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={strings.exports.throughput(last, top)}
      data-testid="throughput"
    >
      <polygon className={classes.area} points={`0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} />
      <polyline className={classes.line} points={line} />
    </svg>
  );
}
