-- Adds one job without a unique key: it is always inserted. $6: delay in seconds from the database's now(), used if run_at
-- ($5) is null. JSON and times are sent as text, which every driver can do.
SELECT ARRAY[postrider.add_job($1::text, $2::text::jsonb, $3::text, $4::integer,
                               coalesce($5::text::timestamptz, now() + make_interval(secs => $6::float8)), $7::integer,
                               $8::text::boolean)] AS ids,
       NULL::text[] AS outcomes
