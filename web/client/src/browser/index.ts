/** The parts of the SDK that need a page: an export from the click to the saved file. Start with {@link ExportRun}. */
export { ExportRun, type ExportRunOptions } from "./exportRun.js";
export { type FileSink, noRoomError, throwNoRoom } from "./fileSink.js";
export { MEMORY_LIMIT, MemorySink } from "./memorySink.js";
export { ProgressThrottle } from "./progressThrottle.js";
export { fractionOf, IDLE, isBusy, type RunPhase, type RunState } from "./runState.js";
export { saveToDownloads } from "./saveToDownloads.js";
export { SpillingSink } from "./spillingSink.js";
