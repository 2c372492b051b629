-- The tables of the brief's question 2: training menus, muscles, and which menu trains which muscle.
-- The same statements run on SQLite and on PostgreSQL, so ids are given and not generated.
CREATE TABLE IF NOT EXISTS menus (id INTEGER PRIMARY KEY, name TEXT, category TEXT);
CREATE TABLE IF NOT EXISTS muscles (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE IF NOT EXISTS muscle_menus (
  id INTEGER PRIMARY KEY,
  muscle_id INTEGER NOT NULL REFERENCES muscles (id),
  menu_id INTEGER NOT NULL REFERENCES menus (id)
);
INSERT INTO menus (id, name, category) VALUES
  (1, 'menu1', 'training'), (2, 'menu2', 'training'), (3, 'menu3', 'training'),
  (4, 'menu4', 'stretch'), (5, 'menu5', 'stretch'), (6, 'menu6', 'balance');
INSERT INTO muscles (id, name) VALUES (1, 'muscle1'), (2, 'muscle2'), (3, 'muscle3');
INSERT INTO muscle_menus (id, muscle_id, menu_id) VALUES
  (1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 1, 6), (5, 2, 1), (6, 2, 4), (7, 3, 1);
