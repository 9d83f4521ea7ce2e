-- A session keeps the plan of this function. Without it, the planner looks at each partition of the history every time,
-- which takes ten times as long as to find the job. The settings are for plans that were made while the tables were small.
CREATE FUNCTION postrider.find_job(id bigint) RETURNS SETOF postrider.jobs
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT * FROM postrider.jobs AS j WHERE j.id = $1;
END
$$;
COMMENT ON FUNCTION postrider.find_job IS 'Internal. Returns one job of the view jobs.';
