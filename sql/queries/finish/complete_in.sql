-- Completes one job in its handler's transaction. JSON and the worker's id are sent as text, which every driver can do.
SELECT ARRAY[$1::bigint] AS ids,
       ARRAY[postrider.complete($1::bigint, $2::integer, $3::text::uuid, $4::bigint, $5::text::jsonb)] AS outcomes
