// Gives the cells of a Go reader as texts. A call of calls/go.toml stands in the function main of another file and sets `rows` and `err`.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
)

var columns = []string{"id", "code", "account", "qty", "amount", "ratio", "active", "day", "moment", "wall", "word", "note"}

// cell gives a value as a text, or nil.
func cell(value any) any {
	switch value := value.(type) {
	case nil, string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64)
	case time.Time:
		return value.Format("2006-01-02T15:04:05.999999")
	case [16]byte:
		return decimal(value[:])
	}
	return fmt.Sprint(value)
}

// decimal gives the text of a decimal with 18 digits after the point, stored as an integer of two's complement.
func decimal(bytes []byte) string {
	number := new(big.Int).SetBytes(bytes)
	if bytes[0] >= 128 {
		number.Sub(number, new(big.Int).Lsh(big.NewInt(1), uint(8*len(bytes))))
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
	return new(big.Rat).SetFrac(number, scale).FloatString(18)
}

// fields gives the rows of a slice of structs by the names in the tags `parquet`. A nil pointer is NULL.
func fields(rows reflect.Value) []map[string]any {
	titled := []map[string]any{}
	for index := 0; index < rows.Len(); index++ {
		object := map[string]any{}
		for place := 0; place < rows.Type().Elem().NumField(); place++ {
			name, _, _ := strings.Cut(rows.Type().Elem().Field(place).Tag.Get("parquet"), ",")
			value := rows.Index(index).Field(place)
			if value.Kind() == reflect.Pointer {
				if value.IsNil() {
					continue
				}
				value = value.Elem()
			}
			object[name] = value.Interface()
			if micros, ok := object[name].(int64); ok && (name == "moment" || name == "wall") {
				object[name] = time.UnixMicro(micros).UTC()
			}
		}
		titled = append(titled, object)
	}
	return titled
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

// emit prints one JSON array for each row of texts, maps or structs.
func emit(rows any, err error) {
	check(err)
	titled := []map[string]any{}
	switch rows := rows.(type) {
	case []map[string]any:
		titled = rows
	case [][]string:
		titled = objects(rows)
	default:
		titled = fields(reflect.ValueOf(rows))
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
