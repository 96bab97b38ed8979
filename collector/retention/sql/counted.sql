SELECT signal, sum(count) AS n FROM retention_counts WHERE run = {run:String} GROUP BY signal
