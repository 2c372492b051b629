import { describe, expect, it } from "vitest";
import { parseEventId, ReplayCursor } from "../src/replayCursor.js";

const at = (seq: number, epoch = "e1") => ({ epoch, seq });

function cursorAt(seq: number): ReplayCursor {
  const cursor = new ReplayCursor();
  cursor.restart(at(seq));
  return cursor;
}

describe("the position in the event log", () => {
  it("advances with each event, and detects duplicates", () => {
    const cursor = cursorAt(3);
    expect([4, 4, 6, 4].map((seq) => cursor.accept(seq))).toEqual([true, false, true, false]);
    expect(cursor.position).toEqual(at(6));
  });

  it("stays before the events of a running replay, whatever the server pushes meanwhile", () => {
    const cursor = cursorAt(3);
    cursor.beginReplay(at(7));
    cursor.accept(8); // a new event, before the missed ones
    expect(cursor.position).toEqual(at(3));
    cursor.expectReplay(2);
    cursor.accept(5);
    expect(cursor.position).toEqual(at(5));
    cursor.accept(9);
    expect(cursor.position).toEqual(at(5));
    cursor.accept(6);
    expect(cursor.position).toEqual(at(9));
  });

  it("is resumed again after a second disconnect, without duplicates", () => {
    const cursor = cursorAt(3);
    cursor.beginReplay(at(7));
    cursor.accept(8);
    cursor.disconnected();
    expect(cursor.position).toEqual(at(3));
    cursor.beginReplay(at(8));
    cursor.expectReplay(3);
    expect([5, 6, 8].map((seq) => cursor.accept(seq))).toEqual([true, true, false]);
    expect(cursor.position).toEqual(at(8));
  });

  it("advances at once when no event was missed, also when the answer follows the events", () => {
    const none = cursorAt(3);
    none.beginReplay(at(7));
    none.expectReplay(0);
    expect(none.position).toEqual(at(7));
    const late = cursorAt(3);
    late.beginReplay(at(5));
    late.accept(4);
    late.accept(5);
    late.accept(6);
    late.expectReplay(2);
    expect(late.position).toEqual(at(6));
  });

  it("continues at the start of the connection when the replay is given up, after events pushed meanwhile", () => {
    const cursor = cursorAt(9);
    cursor.beginReplay(at(2, "e2"));
    expect(cursor.accept(3)).toBe(true);
    expect(cursor.position).toEqual(at(9));
    cursor.abandonReplay();
    expect(cursor.position).toEqual(at(3, "e2"));
    expect([3, 9].map((seq) => cursor.accept(seq))).toEqual([false, true]);
  });

  it("is parsed from the id of an event", () => {
    expect(parseEventId("19ab:7")).toEqual({ epoch: "19ab", seq: 7 });
    expect(["", "7", ":7", "e1:", "e1-7", "e1:x"].map(parseEventId)).toEqual(Array(6).fill(undefined));
  });
});
