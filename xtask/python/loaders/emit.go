// Gives the cells of a Go reader as texts. A call of calls/go.toml stands in the function main of another file and sets `rows` and `err`.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

var columns = []string{"id", "code", "account", "qty", "amount", "ratio", "active", "day", "moment", "wall", "word", "note"}

// cell gives a value as a text, or nil.
func cell(value any) any {
	switch value := value.(type) {
	case nil, string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64)
	}
	return fmt.Sprint(value)
}

// objects gives rows of texts by the titles in the first of them.
func objects(rows [][]string) []map[string]any {
	titled := []map[string]any{}
	for _, row := range rows[1:] {
		object := map[string]any{}
		for index, text := range row {
			if index < len(rows[0]) {
				object[rows[0][index]] = text
			}
		}
		titled = append(titled, object)
	}
	return titled
}

// check ends the program with the error, if there is one.
func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// emit prints one JSON array for each row.
func emit[Rows [][]string | []map[string]any](rows Rows, err error) {
	check(err)
	titled, ok := any(rows).([]map[string]any)
	if !ok {
		titled = objects(any(rows).([][]string))
	}
	file, err := os.Create(os.Getenv("LOADERS_OUT"))
	check(err)
	out := bufio.NewWriter(file)
	lines := json.NewEncoder(out)
	for _, row := range titled {
		cells := []any{}
		for _, name := range columns {
			cells = append(cells, cell(row[name]))
		}
		check(lines.Encode(cells))
	}
	check(out.Flush())
	check(file.Close())
}
