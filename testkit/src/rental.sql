-- A shop that rents films: tables, views and comments as a team might have them, without any regard to Sluice.
CREATE TYPE rating AS ENUM ('all', 'teens', 'adults');

CREATE TABLE country (country_id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE city (
    city_id serial PRIMARY KEY, country_id integer NOT NULL REFERENCES country, name text NOT NULL);
CREATE TABLE address (
    address_id serial PRIMARY KEY, city_id integer NOT NULL REFERENCES city, street text NOT NULL, postcode varchar(10),
    phone text, position point);
CREATE TABLE store (store_id serial PRIMARY KEY, address_id integer NOT NULL REFERENCES address);
CREATE TABLE staff (
    staff_id serial PRIMARY KEY, store_id integer NOT NULL REFERENCES store, first_name text NOT NULL, last_name text NOT NULL,
    contact text, username text NOT NULL, password text, picture bytea, active boolean NOT NULL DEFAULT true);
CREATE TABLE customer (
    customer_id serial PRIMARY KEY, store_id integer NOT NULL REFERENCES store, "firstName" text NOT NULL,
    "lastName" text NOT NULL, email text, address_id integer NOT NULL REFERENCES address, credit_card text,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE language (language_id smallint PRIMARY KEY, name char(20) NOT NULL);
CREATE TABLE film (
    film_id serial PRIMARY KEY, title text NOT NULL, description text, release_year integer,
    language_id smallint NOT NULL REFERENCES language, rental_rate numeric(4,2) NOT NULL DEFAULT 4.99,
    rating rating NOT NULL DEFAULT 'all', special_features text[], fulltext tsvector);
CREATE TABLE rental (
    rental_id serial PRIMARY KEY, rented_at timestamp NOT NULL, film_id integer NOT NULL REFERENCES film,
    customer_id integer NOT NULL REFERENCES customer, returned_at timestamp, staff_id integer NOT NULL REFERENCES staff);
CREATE TABLE payment (
    payment_id bigint GENERATED ALWAYS AS IDENTITY, rental_id integer NOT NULL, amount numeric(7,2) NOT NULL,
    paid_at timestamptz NOT NULL, PRIMARY KEY (payment_id, paid_at)) PARTITION BY RANGE (paid_at);
CREATE TABLE payment_2025 PARTITION OF payment FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE payment_2026 PARTITION OF payment FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

COMMENT ON TABLE film IS 'Films for rent';
COMMENT ON TABLE rental IS E'One row for each film that a customer took.\nA film that is not back has no `returned_at`.';
COMMENT ON COLUMN film.rental_rate IS 'Price per day';
COMMENT ON COLUMN rental.returned_at IS 'The moment at which the film came back, or NULL while the customer has it. It has no time zone.';

INSERT INTO country (name) VALUES ('Norway'), ('Chile');
INSERT INTO city (country_id, name) VALUES (1, 'Bergen'), (2, 'Valparaíso');
INSERT INTO address (city_id, street, postcode, phone)
SELECT 1 + n % 2, n || ' Harbour Street', '50' || n, '+47 55 00 00 ' || lpad(n::text, 2, '0') FROM generate_series(1, 20) AS n;
INSERT INTO store (address_id) VALUES (1), (2);
INSERT INTO staff (store_id, first_name, last_name, contact, username, password)
SELECT 1 + n % 2, 'S' || n, 'Staff', 's' || n || '@example.com', 's' || n, md5(n::text) FROM generate_series(1, 4) AS n;
INSERT INTO customer (store_id, "firstName", "lastName", email, address_id, credit_card)
SELECT 1 + n % 2, 'C' || n, 'Customer', 'c' || n || '@example.com', n, '4111 1111 1111 1111' FROM generate_series(3, 20) AS n;
INSERT INTO language VALUES (1, 'Norwegian'), (2, 'Spanish');
INSERT INTO film (title, description, release_year, language_id, rating, special_features)
SELECT 'Film ' || n, 'About ' || n, 1990 + n % 30, 1 + n % 2, CASE WHEN n % 3 = 0 THEN 'teens'::rating ELSE 'all' END, ARRAY['Trailers']
FROM generate_series(1, 50) AS n;
INSERT INTO rental (rented_at, film_id, customer_id, returned_at, staff_id)
SELECT timestamp '2025-12-30' + n * interval '1 hour', 1 + n % 50, 1 + n % 18, NULL, 1 + n % 4 FROM generate_series(1, 200) AS n;
INSERT INTO payment (rental_id, amount, paid_at)
SELECT n, n * 0.25, timestamptz '2025-12-30 00:00+00' + n * interval '1 hour' FROM generate_series(1, 200) AS n;

CREATE VIEW open_rental AS SELECT rental_id AS id, customer_id, rented_at FROM rental WHERE returned_at IS NULL;
CREATE MATERIALIZED VIEW film_revenue AS
SELECT f.film_id, f.title, sum(p.amount) AS revenue
FROM film AS f JOIN rental AS r USING (film_id) JOIN payment AS p USING (rental_id) GROUP BY f.film_id, f.title;
