-- In the order of their ids, so that two sessions with the same jobs do not deadlock.
SELECT id, postrider.retry(id, only_failed => true) AS outcome
FROM (SELECT unnest($1::bigint[]) AS id ORDER BY 1) AS failed
